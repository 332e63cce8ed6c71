// Original file: proto/podwire.proto

import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from '../../podwire/v1/Network.ts';
import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from '../../podwire/v1/Subnet.ts';
import type { SubnetKey as _podwire_v1_SubnetKey, SubnetKey__Output as _podwire_v1_SubnetKey__Output } from '../../podwire/v1/SubnetKey.ts';
import type { Long } from '@grpc/proto-loader';

export interface Delta {
  'revision'?: (number | string | Long);
  'networks'?: (_podwire_v1_Network)[];
  'deletedNetworks'?: (string)[];
  'subnets'?: (_podwire_v1_Subnet)[];
  'deletedSubnets'?: (_podwire_v1_SubnetKey)[];
}

export interface Delta__Output {
  'revision': (number);
  'networks': (_podwire_v1_Network__Output)[];
  'deletedNetworks': (string)[];
  'subnets': (_podwire_v1_Subnet__Output)[];
  'deletedSubnets': (_podwire_v1_SubnetKey__Output)[];
}
