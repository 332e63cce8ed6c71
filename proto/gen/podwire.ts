import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { Ack as _podwire_v1_Ack, Ack__Output as _podwire_v1_Ack__Output } from './podwire/v1/Ack.ts';
import type { AdminClient as _podwire_v1_AdminClient, AdminDefinition as _podwire_v1_AdminDefinition } from './podwire/v1/Admin.ts';
import type { Backend as _podwire_v1_Backend, Backend__Output as _podwire_v1_Backend__Output } from './podwire/v1/Backend.ts';
import type { BackendProgress as _podwire_v1_BackendProgress, BackendProgress__Output as _podwire_v1_BackendProgress__Output } from './podwire/v1/BackendProgress.ts';
import type { Condition as _podwire_v1_Condition, Condition__Output as _podwire_v1_Condition__Output } from './podwire/v1/Condition.ts';
import type { ControllerMessage as _podwire_v1_ControllerMessage, ControllerMessage__Output as _podwire_v1_ControllerMessage__Output } from './podwire/v1/ControllerMessage.ts';
import type { CreateNetworkRequest as _podwire_v1_CreateNetworkRequest, CreateNetworkRequest__Output as _podwire_v1_CreateNetworkRequest__Output } from './podwire/v1/CreateNetworkRequest.ts';
import type { DeleteNetworkRequest as _podwire_v1_DeleteNetworkRequest, DeleteNetworkRequest__Output as _podwire_v1_DeleteNetworkRequest__Output } from './podwire/v1/DeleteNetworkRequest.ts';
import type { DeleteNetworkResponse as _podwire_v1_DeleteNetworkResponse, DeleteNetworkResponse__Output as _podwire_v1_DeleteNetworkResponse__Output } from './podwire/v1/DeleteNetworkResponse.ts';
import type { Delta as _podwire_v1_Delta, Delta__Output as _podwire_v1_Delta__Output } from './podwire/v1/Delta.ts';
import type { HeldSubnet as _podwire_v1_HeldSubnet, HeldSubnet__Output as _podwire_v1_HeldSubnet__Output } from './podwire/v1/HeldSubnet.ts';
import type { Hello as _podwire_v1_Hello, Hello__Output as _podwire_v1_Hello__Output } from './podwire/v1/Hello.ts';
import type { InspectAddressRequest as _podwire_v1_InspectAddressRequest, InspectAddressRequest__Output as _podwire_v1_InspectAddressRequest__Output } from './podwire/v1/InspectAddressRequest.ts';
import type { InspectAddressResponse as _podwire_v1_InspectAddressResponse, InspectAddressResponse__Output as _podwire_v1_InspectAddressResponse__Output } from './podwire/v1/InspectAddressResponse.ts';
import type { Lease as _podwire_v1_Lease, Lease__Output as _podwire_v1_Lease__Output } from './podwire/v1/Lease.ts';
import type { LeasedSubnet as _podwire_v1_LeasedSubnet, LeasedSubnet__Output as _podwire_v1_LeasedSubnet__Output } from './podwire/v1/LeasedSubnet.ts';
import type { ListNetworksRequest as _podwire_v1_ListNetworksRequest, ListNetworksRequest__Output as _podwire_v1_ListNetworksRequest__Output } from './podwire/v1/ListNetworksRequest.ts';
import type { ListNetworksResponse as _podwire_v1_ListNetworksResponse, ListNetworksResponse__Output as _podwire_v1_ListNetworksResponse__Output } from './podwire/v1/ListNetworksResponse.ts';
import type { ListNodesRequest as _podwire_v1_ListNodesRequest, ListNodesRequest__Output as _podwire_v1_ListNodesRequest__Output } from './podwire/v1/ListNodesRequest.ts';
import type { ListNodesResponse as _podwire_v1_ListNodesResponse, ListNodesResponse__Output as _podwire_v1_ListNodesResponse__Output } from './podwire/v1/ListNodesResponse.ts';
import type { ListPodsRequest as _podwire_v1_ListPodsRequest, ListPodsRequest__Output as _podwire_v1_ListPodsRequest__Output } from './podwire/v1/ListPodsRequest.ts';
import type { ListPodsResponse as _podwire_v1_ListPodsResponse, ListPodsResponse__Output as _podwire_v1_ListPodsResponse__Output } from './podwire/v1/ListPodsResponse.ts';
import type { ListSubnetsRequest as _podwire_v1_ListSubnetsRequest, ListSubnetsRequest__Output as _podwire_v1_ListSubnetsRequest__Output } from './podwire/v1/ListSubnetsRequest.ts';
import type { ListSubnetsResponse as _podwire_v1_ListSubnetsResponse, ListSubnetsResponse__Output as _podwire_v1_ListSubnetsResponse__Output } from './podwire/v1/ListSubnetsResponse.ts';
import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from './podwire/v1/Network.ts';
import type { Node as _podwire_v1_Node, Node__Output as _podwire_v1_Node__Output } from './podwire/v1/Node.ts';
import type { NodeMessage as _podwire_v1_NodeMessage, NodeMessage__Output as _podwire_v1_NodeMessage__Output } from './podwire/v1/NodeMessage.ts';
import type { NodeStatus as _podwire_v1_NodeStatus, NodeStatus__Output as _podwire_v1_NodeStatus__Output } from './podwire/v1/NodeStatus.ts';
import type { NodesClient as _podwire_v1_NodesClient, NodesDefinition as _podwire_v1_NodesDefinition } from './podwire/v1/Nodes.ts';
import type { PairKey as _podwire_v1_PairKey, PairKey__Output as _podwire_v1_PairKey__Output } from './podwire/v1/PairKey.ts';
import type { Pod as _podwire_v1_Pod, Pod__Output as _podwire_v1_Pod__Output } from './podwire/v1/Pod.ts';
import type { Probe as _podwire_v1_Probe, Probe__Output as _podwire_v1_Probe__Output } from './podwire/v1/Probe.ts';
import type { ReleaseSubnetRequest as _podwire_v1_ReleaseSubnetRequest, ReleaseSubnetRequest__Output as _podwire_v1_ReleaseSubnetRequest__Output } from './podwire/v1/ReleaseSubnetRequest.ts';
import type { ReleaseSubnetResponse as _podwire_v1_ReleaseSubnetResponse, ReleaseSubnetResponse__Output as _podwire_v1_ReleaseSubnetResponse__Output } from './podwire/v1/ReleaseSubnetResponse.ts';
import type { Renew as _podwire_v1_Renew, Renew__Output as _podwire_v1_Renew__Output } from './podwire/v1/Renew.ts';
import type { ReserveSubnetRequest as _podwire_v1_ReserveSubnetRequest, ReserveSubnetRequest__Output as _podwire_v1_ReserveSubnetRequest__Output } from './podwire/v1/ReserveSubnetRequest.ts';
import type { Secrets as _podwire_v1_Secrets, Secrets__Output as _podwire_v1_Secrets__Output } from './podwire/v1/Secrets.ts';
import type { SetNetworkRequest as _podwire_v1_SetNetworkRequest, SetNetworkRequest__Output as _podwire_v1_SetNetworkRequest__Output } from './podwire/v1/SetNetworkRequest.ts';
import type { Snapshot as _podwire_v1_Snapshot, Snapshot__Output as _podwire_v1_Snapshot__Output } from './podwire/v1/Snapshot.ts';
import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from './podwire/v1/Subnet.ts';
import type { SubnetKey as _podwire_v1_SubnetKey, SubnetKey__Output as _podwire_v1_SubnetKey__Output } from './podwire/v1/SubnetKey.ts';
import type { WatchRequest as _podwire_v1_WatchRequest, WatchRequest__Output as _podwire_v1_WatchRequest__Output } from './podwire/v1/WatchRequest.ts';
import type { WatchResponse as _podwire_v1_WatchResponse, WatchResponse__Output as _podwire_v1_WatchResponse__Output } from './podwire/v1/WatchResponse.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  podwire: {
    v1: {
      Ack: MessageTypeDefinition<_podwire_v1_Ack, _podwire_v1_Ack__Output>
      Admin: SubtypeConstructor<typeof grpc.Client, _podwire_v1_AdminClient> & { service: _podwire_v1_AdminDefinition }
      Backend: MessageTypeDefinition<_podwire_v1_Backend, _podwire_v1_Backend__Output>
      BackendProgress: MessageTypeDefinition<_podwire_v1_BackendProgress, _podwire_v1_BackendProgress__Output>
      Condition: MessageTypeDefinition<_podwire_v1_Condition, _podwire_v1_Condition__Output>
      ControllerMessage: MessageTypeDefinition<_podwire_v1_ControllerMessage, _podwire_v1_ControllerMessage__Output>
      CreateNetworkRequest: MessageTypeDefinition<_podwire_v1_CreateNetworkRequest, _podwire_v1_CreateNetworkRequest__Output>
      DeleteNetworkRequest: MessageTypeDefinition<_podwire_v1_DeleteNetworkRequest, _podwire_v1_DeleteNetworkRequest__Output>
      DeleteNetworkResponse: MessageTypeDefinition<_podwire_v1_DeleteNetworkResponse, _podwire_v1_DeleteNetworkResponse__Output>
      Delta: MessageTypeDefinition<_podwire_v1_Delta, _podwire_v1_Delta__Output>
      HeldSubnet: MessageTypeDefinition<_podwire_v1_HeldSubnet, _podwire_v1_HeldSubnet__Output>
      Hello: MessageTypeDefinition<_podwire_v1_Hello, _podwire_v1_Hello__Output>
      InspectAddressRequest: MessageTypeDefinition<_podwire_v1_InspectAddressRequest, _podwire_v1_InspectAddressRequest__Output>
      InspectAddressResponse: MessageTypeDefinition<_podwire_v1_InspectAddressResponse, _podwire_v1_InspectAddressResponse__Output>
      Lease: MessageTypeDefinition<_podwire_v1_Lease, _podwire_v1_Lease__Output>
      LeaseState: EnumTypeDefinition
      LeasedSubnet: MessageTypeDefinition<_podwire_v1_LeasedSubnet, _podwire_v1_LeasedSubnet__Output>
      ListNetworksRequest: MessageTypeDefinition<_podwire_v1_ListNetworksRequest, _podwire_v1_ListNetworksRequest__Output>
      ListNetworksResponse: MessageTypeDefinition<_podwire_v1_ListNetworksResponse, _podwire_v1_ListNetworksResponse__Output>
      ListNodesRequest: MessageTypeDefinition<_podwire_v1_ListNodesRequest, _podwire_v1_ListNodesRequest__Output>
      ListNodesResponse: MessageTypeDefinition<_podwire_v1_ListNodesResponse, _podwire_v1_ListNodesResponse__Output>
      ListPodsRequest: MessageTypeDefinition<_podwire_v1_ListPodsRequest, _podwire_v1_ListPodsRequest__Output>
      ListPodsResponse: MessageTypeDefinition<_podwire_v1_ListPodsResponse, _podwire_v1_ListPodsResponse__Output>
      ListSubnetsRequest: MessageTypeDefinition<_podwire_v1_ListSubnetsRequest, _podwire_v1_ListSubnetsRequest__Output>
      ListSubnetsResponse: MessageTypeDefinition<_podwire_v1_ListSubnetsResponse, _podwire_v1_ListSubnetsResponse__Output>
      Network: MessageTypeDefinition<_podwire_v1_Network, _podwire_v1_Network__Output>
      Node: MessageTypeDefinition<_podwire_v1_Node, _podwire_v1_Node__Output>
      NodeMessage: MessageTypeDefinition<_podwire_v1_NodeMessage, _podwire_v1_NodeMessage__Output>
      NodeStatus: MessageTypeDefinition<_podwire_v1_NodeStatus, _podwire_v1_NodeStatus__Output>
      Nodes: SubtypeConstructor<typeof grpc.Client, _podwire_v1_NodesClient> & { service: _podwire_v1_NodesDefinition }
      PairKey: MessageTypeDefinition<_podwire_v1_PairKey, _podwire_v1_PairKey__Output>
      Pod: MessageTypeDefinition<_podwire_v1_Pod, _podwire_v1_Pod__Output>
      Probe: MessageTypeDefinition<_podwire_v1_Probe, _podwire_v1_Probe__Output>
      ReleaseSubnetRequest: MessageTypeDefinition<_podwire_v1_ReleaseSubnetRequest, _podwire_v1_ReleaseSubnetRequest__Output>
      ReleaseSubnetResponse: MessageTypeDefinition<_podwire_v1_ReleaseSubnetResponse, _podwire_v1_ReleaseSubnetResponse__Output>
      Renew: MessageTypeDefinition<_podwire_v1_Renew, _podwire_v1_Renew__Output>
      ReserveSubnetRequest: MessageTypeDefinition<_podwire_v1_ReserveSubnetRequest, _podwire_v1_ReserveSubnetRequest__Output>
      Secrets: MessageTypeDefinition<_podwire_v1_Secrets, _podwire_v1_Secrets__Output>
      SetNetworkRequest: MessageTypeDefinition<_podwire_v1_SetNetworkRequest, _podwire_v1_SetNetworkRequest__Output>
      Snapshot: MessageTypeDefinition<_podwire_v1_Snapshot, _podwire_v1_Snapshot__Output>
      Subnet: MessageTypeDefinition<_podwire_v1_Subnet, _podwire_v1_Subnet__Output>
      SubnetKey: MessageTypeDefinition<_podwire_v1_SubnetKey, _podwire_v1_SubnetKey__Output>
      WatchRequest: MessageTypeDefinition<_podwire_v1_WatchRequest, _podwire_v1_WatchRequest__Output>
      WatchResponse: MessageTypeDefinition<_podwire_v1_WatchResponse, _podwire_v1_WatchResponse__Output>
    }
  }
}

