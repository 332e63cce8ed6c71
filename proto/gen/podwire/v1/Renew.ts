// Original file: proto/podwire.proto

import type { HeldSubnet as _podwire_v1_HeldSubnet, HeldSubnet__Output as _podwire_v1_HeldSubnet__Output } from '../../podwire/v1/HeldSubnet.ts';

export interface Renew {
  'held'?: (_podwire_v1_HeldSubnet)[];
}

export interface Renew__Output {
  'held': (_podwire_v1_HeldSubnet__Output)[];
}
