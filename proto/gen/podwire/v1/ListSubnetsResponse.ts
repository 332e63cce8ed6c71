// Original file: proto/podwire.proto

import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from '../../podwire/v1/Subnet.ts';

export interface ListSubnetsResponse {
  'subnets'?: (_podwire_v1_Subnet)[];
}

export interface ListSubnetsResponse__Output {
  'subnets': (_podwire_v1_Subnet__Output)[];
}
