// Original file: proto/podwire.proto

import type { LeaseState as _podwire_v1_LeaseState, LeaseState__Output as _podwire_v1_LeaseState__Output } from '../../podwire/v1/LeaseState.ts';
import type { LeasedSubnet as _podwire_v1_LeasedSubnet, LeasedSubnet__Output as _podwire_v1_LeasedSubnet__Output } from '../../podwire/v1/LeasedSubnet.ts';
import type { Long } from '@grpc/proto-loader';

export interface Lease {
  'network'?: (string);
  'state'?: (_podwire_v1_LeaseState);
  'reason'?: (string);
  'subnets'?: (_podwire_v1_LeasedSubnet)[];
  'expiresAt'?: (number | string | Long);
  'ttlSeconds'?: (number);
}

export interface Lease__Output {
  'network': (string);
  'state': (_podwire_v1_LeaseState__Output);
  'reason': (string);
  'subnets': (_podwire_v1_LeasedSubnet__Output)[];
  'expiresAt': (number);
  'ttlSeconds': (number);
}
