// Original file: proto/podwire.proto

import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from '../../podwire/v1/Network.ts';
import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from '../../podwire/v1/Subnet.ts';
import type { Long } from '@grpc/proto-loader';

export interface Snapshot {
  'revision'?: (number | string | Long);
  'networks'?: (_podwire_v1_Network)[];
  'subnets'?: (_podwire_v1_Subnet)[];
}

export interface Snapshot__Output {
  'revision': (number);
  'networks': (_podwire_v1_Network__Output)[];
  'subnets': (_podwire_v1_Subnet__Output)[];
}
