// Original file: proto/podwire.proto

import type { PairKey as _podwire_v1_PairKey, PairKey__Output as _podwire_v1_PairKey__Output } from '../../podwire/v1/PairKey.ts';
import type { Long } from '@grpc/proto-loader';

export interface Secrets {
  'epoch'?: (number | string | Long);
  'pairs'?: (_podwire_v1_PairKey)[];
}

export interface Secrets__Output {
  'epoch': (number);
  'pairs': (_podwire_v1_PairKey__Output)[];
}
