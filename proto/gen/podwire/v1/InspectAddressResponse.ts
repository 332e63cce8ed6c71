// Original file: proto/podwire.proto

import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from '../../podwire/v1/Network.ts';
import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from '../../podwire/v1/Subnet.ts';
import type { Node as _podwire_v1_Node, Node__Output as _podwire_v1_Node__Output } from '../../podwire/v1/Node.ts';
import type { Pod as _podwire_v1_Pod, Pod__Output as _podwire_v1_Pod__Output } from '../../podwire/v1/Pod.ts';

export interface InspectAddressResponse {
  'network'?: (_podwire_v1_Network | null);
  'subnet'?: (_podwire_v1_Subnet | null);
  'node'?: (_podwire_v1_Node | null);
  'pod'?: (_podwire_v1_Pod | null);
}

export interface InspectAddressResponse__Output {
  'network': (_podwire_v1_Network__Output | null);
  'subnet': (_podwire_v1_Subnet__Output | null);
  'node': (_podwire_v1_Node__Output | null);
  'pod': (_podwire_v1_Pod__Output | null);
}
