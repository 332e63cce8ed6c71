// Original file: proto/podwire.proto

import type { Node as _podwire_v1_Node, Node__Output as _podwire_v1_Node__Output } from '../../podwire/v1/Node.ts';
import type { Long } from '@grpc/proto-loader';

export interface ListNodesResponse {
  'nodes'?: (_podwire_v1_Node)[];
  'revision'?: (number | string | Long);
}

export interface ListNodesResponse__Output {
  'nodes': (_podwire_v1_Node__Output)[];
  'revision': (number);
}
