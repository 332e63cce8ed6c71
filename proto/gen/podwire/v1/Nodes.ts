// Original file: proto/podwire.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { ControllerMessage as _podwire_v1_ControllerMessage, ControllerMessage__Output as _podwire_v1_ControllerMessage__Output } from '../../podwire/v1/ControllerMessage.ts';
import type { NodeMessage as _podwire_v1_NodeMessage, NodeMessage__Output as _podwire_v1_NodeMessage__Output } from '../../podwire/v1/NodeMessage.ts';

export interface NodesClient extends grpc.Client {
  Session(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_podwire_v1_NodeMessage, _podwire_v1_ControllerMessage__Output>;
  Session(options?: grpc.CallOptions): grpc.ClientDuplexStream<_podwire_v1_NodeMessage, _podwire_v1_ControllerMessage__Output>;
  session(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_podwire_v1_NodeMessage, _podwire_v1_ControllerMessage__Output>;
  session(options?: grpc.CallOptions): grpc.ClientDuplexStream<_podwire_v1_NodeMessage, _podwire_v1_ControllerMessage__Output>;
  
}

export interface NodesHandlers extends grpc.UntypedServiceImplementation {
  Session: grpc.handleBidiStreamingCall<_podwire_v1_NodeMessage__Output, _podwire_v1_ControllerMessage>;
  
}

export interface NodesDefinition extends grpc.ServiceDefinition {
  Session: MethodDefinition<_podwire_v1_NodeMessage, _podwire_v1_ControllerMessage, _podwire_v1_NodeMessage__Output, _podwire_v1_ControllerMessage__Output>
}
