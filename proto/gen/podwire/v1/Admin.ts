// Original file: proto/podwire.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { CreateNetworkRequest as _podwire_v1_CreateNetworkRequest, CreateNetworkRequest__Output as _podwire_v1_CreateNetworkRequest__Output } from '../../podwire/v1/CreateNetworkRequest.ts';
import type { DeleteNetworkRequest as _podwire_v1_DeleteNetworkRequest, DeleteNetworkRequest__Output as _podwire_v1_DeleteNetworkRequest__Output } from '../../podwire/v1/DeleteNetworkRequest.ts';
import type { DeleteNetworkResponse as _podwire_v1_DeleteNetworkResponse, DeleteNetworkResponse__Output as _podwire_v1_DeleteNetworkResponse__Output } from '../../podwire/v1/DeleteNetworkResponse.ts';
import type { InspectAddressRequest as _podwire_v1_InspectAddressRequest, InspectAddressRequest__Output as _podwire_v1_InspectAddressRequest__Output } from '../../podwire/v1/InspectAddressRequest.ts';
import type { InspectAddressResponse as _podwire_v1_InspectAddressResponse, InspectAddressResponse__Output as _podwire_v1_InspectAddressResponse__Output } from '../../podwire/v1/InspectAddressResponse.ts';
import type { ListNetworksRequest as _podwire_v1_ListNetworksRequest, ListNetworksRequest__Output as _podwire_v1_ListNetworksRequest__Output } from '../../podwire/v1/ListNetworksRequest.ts';
import type { ListNetworksResponse as _podwire_v1_ListNetworksResponse, ListNetworksResponse__Output as _podwire_v1_ListNetworksResponse__Output } from '../../podwire/v1/ListNetworksResponse.ts';
import type { ListNodesRequest as _podwire_v1_ListNodesRequest, ListNodesRequest__Output as _podwire_v1_ListNodesRequest__Output } from '../../podwire/v1/ListNodesRequest.ts';
import type { ListNodesResponse as _podwire_v1_ListNodesResponse, ListNodesResponse__Output as _podwire_v1_ListNodesResponse__Output } from '../../podwire/v1/ListNodesResponse.ts';
import type { ListPodsRequest as _podwire_v1_ListPodsRequest, ListPodsRequest__Output as _podwire_v1_ListPodsRequest__Output } from '../../podwire/v1/ListPodsRequest.ts';
import type { ListPodsResponse as _podwire_v1_ListPodsResponse, ListPodsResponse__Output as _podwire_v1_ListPodsResponse__Output } from '../../podwire/v1/ListPodsResponse.ts';
import type { ListSubnetsRequest as _podwire_v1_ListSubnetsRequest, ListSubnetsRequest__Output as _podwire_v1_ListSubnetsRequest__Output } from '../../podwire/v1/ListSubnetsRequest.ts';
import type { ListSubnetsResponse as _podwire_v1_ListSubnetsResponse, ListSubnetsResponse__Output as _podwire_v1_ListSubnetsResponse__Output } from '../../podwire/v1/ListSubnetsResponse.ts';
import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from '../../podwire/v1/Network.ts';
import type { ReleaseSubnetRequest as _podwire_v1_ReleaseSubnetRequest, ReleaseSubnetRequest__Output as _podwire_v1_ReleaseSubnetRequest__Output } from '../../podwire/v1/ReleaseSubnetRequest.ts';
import type { ReleaseSubnetResponse as _podwire_v1_ReleaseSubnetResponse, ReleaseSubnetResponse__Output as _podwire_v1_ReleaseSubnetResponse__Output } from '../../podwire/v1/ReleaseSubnetResponse.ts';
import type { ReserveSubnetRequest as _podwire_v1_ReserveSubnetRequest, ReserveSubnetRequest__Output as _podwire_v1_ReserveSubnetRequest__Output } from '../../podwire/v1/ReserveSubnetRequest.ts';
import type { SetNetworkRequest as _podwire_v1_SetNetworkRequest, SetNetworkRequest__Output as _podwire_v1_SetNetworkRequest__Output } from '../../podwire/v1/SetNetworkRequest.ts';
import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from '../../podwire/v1/Subnet.ts';
import type { WatchRequest as _podwire_v1_WatchRequest, WatchRequest__Output as _podwire_v1_WatchRequest__Output } from '../../podwire/v1/WatchRequest.ts';
import type { WatchResponse as _podwire_v1_WatchResponse, WatchResponse__Output as _podwire_v1_WatchResponse__Output } from '../../podwire/v1/WatchResponse.ts';

export interface AdminClient extends grpc.Client {
  CreateNetwork(argument: _podwire_v1_CreateNetworkRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  CreateNetwork(argument: _podwire_v1_CreateNetworkRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  CreateNetwork(argument: _podwire_v1_CreateNetworkRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  CreateNetwork(argument: _podwire_v1_CreateNetworkRequest, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  createNetwork(argument: _podwire_v1_CreateNetworkRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  createNetwork(argument: _podwire_v1_CreateNetworkRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  createNetwork(argument: _podwire_v1_CreateNetworkRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  createNetwork(argument: _podwire_v1_CreateNetworkRequest, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  
  DeleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  DeleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  DeleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  DeleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  deleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  deleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  deleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  deleteNetwork(argument: _podwire_v1_DeleteNetworkRequest, callback: grpc.requestCallback<_podwire_v1_DeleteNetworkResponse__Output>): grpc.ClientUnaryCall;
  
  InspectAddress(argument: _podwire_v1_InspectAddressRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  InspectAddress(argument: _podwire_v1_InspectAddressRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  InspectAddress(argument: _podwire_v1_InspectAddressRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  InspectAddress(argument: _podwire_v1_InspectAddressRequest, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  inspectAddress(argument: _podwire_v1_InspectAddressRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  inspectAddress(argument: _podwire_v1_InspectAddressRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  inspectAddress(argument: _podwire_v1_InspectAddressRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  inspectAddress(argument: _podwire_v1_InspectAddressRequest, callback: grpc.requestCallback<_podwire_v1_InspectAddressResponse__Output>): grpc.ClientUnaryCall;
  
  ListNetworks(argument: _podwire_v1_ListNetworksRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  ListNetworks(argument: _podwire_v1_ListNetworksRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  ListNetworks(argument: _podwire_v1_ListNetworksRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  ListNetworks(argument: _podwire_v1_ListNetworksRequest, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  listNetworks(argument: _podwire_v1_ListNetworksRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  listNetworks(argument: _podwire_v1_ListNetworksRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  listNetworks(argument: _podwire_v1_ListNetworksRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  listNetworks(argument: _podwire_v1_ListNetworksRequest, callback: grpc.requestCallback<_podwire_v1_ListNetworksResponse__Output>): grpc.ClientUnaryCall;
  
  ListNodes(argument: _podwire_v1_ListNodesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  ListNodes(argument: _podwire_v1_ListNodesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  ListNodes(argument: _podwire_v1_ListNodesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  ListNodes(argument: _podwire_v1_ListNodesRequest, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _podwire_v1_ListNodesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _podwire_v1_ListNodesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _podwire_v1_ListNodesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _podwire_v1_ListNodesRequest, callback: grpc.requestCallback<_podwire_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  
  ListPods(argument: _podwire_v1_ListPodsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  ListPods(argument: _podwire_v1_ListPodsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  ListPods(argument: _podwire_v1_ListPodsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  ListPods(argument: _podwire_v1_ListPodsRequest, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  listPods(argument: _podwire_v1_ListPodsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  listPods(argument: _podwire_v1_ListPodsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  listPods(argument: _podwire_v1_ListPodsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  listPods(argument: _podwire_v1_ListPodsRequest, callback: grpc.requestCallback<_podwire_v1_ListPodsResponse__Output>): grpc.ClientUnaryCall;
  
  ListSubnets(argument: _podwire_v1_ListSubnetsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  ListSubnets(argument: _podwire_v1_ListSubnetsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  ListSubnets(argument: _podwire_v1_ListSubnetsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  ListSubnets(argument: _podwire_v1_ListSubnetsRequest, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  listSubnets(argument: _podwire_v1_ListSubnetsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  listSubnets(argument: _podwire_v1_ListSubnetsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  listSubnets(argument: _podwire_v1_ListSubnetsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  listSubnets(argument: _podwire_v1_ListSubnetsRequest, callback: grpc.requestCallback<_podwire_v1_ListSubnetsResponse__Output>): grpc.ClientUnaryCall;
  
  ReleaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  ReleaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  ReleaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  ReleaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  releaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  releaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  releaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  releaseSubnet(argument: _podwire_v1_ReleaseSubnetRequest, callback: grpc.requestCallback<_podwire_v1_ReleaseSubnetResponse__Output>): grpc.ClientUnaryCall;
  
  ReserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  ReserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  ReserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  ReserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  reserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  reserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  reserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  reserveSubnet(argument: _podwire_v1_ReserveSubnetRequest, callback: grpc.requestCallback<_podwire_v1_Subnet__Output>): grpc.ClientUnaryCall;
  
  SetNetwork(argument: _podwire_v1_SetNetworkRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  SetNetwork(argument: _podwire_v1_SetNetworkRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  SetNetwork(argument: _podwire_v1_SetNetworkRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  SetNetwork(argument: _podwire_v1_SetNetworkRequest, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  setNetwork(argument: _podwire_v1_SetNetworkRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  setNetwork(argument: _podwire_v1_SetNetworkRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  setNetwork(argument: _podwire_v1_SetNetworkRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  setNetwork(argument: _podwire_v1_SetNetworkRequest, callback: grpc.requestCallback<_podwire_v1_Network__Output>): grpc.ClientUnaryCall;
  
  Watch(argument: _podwire_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_podwire_v1_WatchResponse__Output>;
  Watch(argument: _podwire_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_podwire_v1_WatchResponse__Output>;
  watch(argument: _podwire_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_podwire_v1_WatchResponse__Output>;
  watch(argument: _podwire_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_podwire_v1_WatchResponse__Output>;
  
}

export interface AdminHandlers extends grpc.UntypedServiceImplementation {
  CreateNetwork: grpc.handleUnaryCall<_podwire_v1_CreateNetworkRequest__Output, _podwire_v1_Network>;
  
  DeleteNetwork: grpc.handleUnaryCall<_podwire_v1_DeleteNetworkRequest__Output, _podwire_v1_DeleteNetworkResponse>;
  
  InspectAddress: grpc.handleUnaryCall<_podwire_v1_InspectAddressRequest__Output, _podwire_v1_InspectAddressResponse>;
  
  ListNetworks: grpc.handleUnaryCall<_podwire_v1_ListNetworksRequest__Output, _podwire_v1_ListNetworksResponse>;
  
  ListNodes: grpc.handleUnaryCall<_podwire_v1_ListNodesRequest__Output, _podwire_v1_ListNodesResponse>;
  
  ListPods: grpc.handleUnaryCall<_podwire_v1_ListPodsRequest__Output, _podwire_v1_ListPodsResponse>;
  
  ListSubnets: grpc.handleUnaryCall<_podwire_v1_ListSubnetsRequest__Output, _podwire_v1_ListSubnetsResponse>;
  
  ReleaseSubnet: grpc.handleUnaryCall<_podwire_v1_ReleaseSubnetRequest__Output, _podwire_v1_ReleaseSubnetResponse>;
  
  ReserveSubnet: grpc.handleUnaryCall<_podwire_v1_ReserveSubnetRequest__Output, _podwire_v1_Subnet>;
  
  SetNetwork: grpc.handleUnaryCall<_podwire_v1_SetNetworkRequest__Output, _podwire_v1_Network>;
  
  Watch: grpc.handleServerStreamingCall<_podwire_v1_WatchRequest__Output, _podwire_v1_WatchResponse>;
  
}

export interface AdminDefinition extends grpc.ServiceDefinition {
  CreateNetwork: MethodDefinition<_podwire_v1_CreateNetworkRequest, _podwire_v1_Network, _podwire_v1_CreateNetworkRequest__Output, _podwire_v1_Network__Output>
  DeleteNetwork: MethodDefinition<_podwire_v1_DeleteNetworkRequest, _podwire_v1_DeleteNetworkResponse, _podwire_v1_DeleteNetworkRequest__Output, _podwire_v1_DeleteNetworkResponse__Output>
  InspectAddress: MethodDefinition<_podwire_v1_InspectAddressRequest, _podwire_v1_InspectAddressResponse, _podwire_v1_InspectAddressRequest__Output, _podwire_v1_InspectAddressResponse__Output>
  ListNetworks: MethodDefinition<_podwire_v1_ListNetworksRequest, _podwire_v1_ListNetworksResponse, _podwire_v1_ListNetworksRequest__Output, _podwire_v1_ListNetworksResponse__Output>
  ListNodes: MethodDefinition<_podwire_v1_ListNodesRequest, _podwire_v1_ListNodesResponse, _podwire_v1_ListNodesRequest__Output, _podwire_v1_ListNodesResponse__Output>
  ListPods: MethodDefinition<_podwire_v1_ListPodsRequest, _podwire_v1_ListPodsResponse, _podwire_v1_ListPodsRequest__Output, _podwire_v1_ListPodsResponse__Output>
  ListSubnets: MethodDefinition<_podwire_v1_ListSubnetsRequest, _podwire_v1_ListSubnetsResponse, _podwire_v1_ListSubnetsRequest__Output, _podwire_v1_ListSubnetsResponse__Output>
  ReleaseSubnet: MethodDefinition<_podwire_v1_ReleaseSubnetRequest, _podwire_v1_ReleaseSubnetResponse, _podwire_v1_ReleaseSubnetRequest__Output, _podwire_v1_ReleaseSubnetResponse__Output>
  ReserveSubnet: MethodDefinition<_podwire_v1_ReserveSubnetRequest, _podwire_v1_Subnet, _podwire_v1_ReserveSubnetRequest__Output, _podwire_v1_Subnet__Output>
  SetNetwork: MethodDefinition<_podwire_v1_SetNetworkRequest, _podwire_v1_Network, _podwire_v1_SetNetworkRequest__Output, _podwire_v1_Network__Output>
  Watch: MethodDefinition<_podwire_v1_WatchRequest, _podwire_v1_WatchResponse, _podwire_v1_WatchRequest__Output, _podwire_v1_WatchResponse__Output>
}
