// Original file: proto/podwire.proto

import type { Backend as _podwire_v1_Backend, Backend__Output as _podwire_v1_Backend__Output } from '../../podwire/v1/Backend.ts';
import type { Long } from '@grpc/proto-loader';

export interface Network {
  'name'?: (string);
  'cidrs'?: (string)[];
  'ipv4SubnetLength'?: (number);
  'ipv6SubnetLength'?: (number);
  'backend'?: (_podwire_v1_Backend | null);
  'masquerade'?: (boolean);
  'createdAt'?: (number | string | Long);
  'generation'?: (number | string | Long);
  'previous'?: (_podwire_v1_Backend | null);
  'required'?: (number | string | Long);
}

export interface Network__Output {
  'name': (string);
  'cidrs': (string)[];
  'ipv4SubnetLength': (number);
  'ipv6SubnetLength': (number);
  'backend': (_podwire_v1_Backend__Output | null);
  'masquerade': (boolean);
  'createdAt': (number);
  'generation': (number);
  'previous': (_podwire_v1_Backend__Output | null);
  'required': (number);
}
