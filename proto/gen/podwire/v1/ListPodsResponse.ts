// Original file: proto/podwire.proto

import type { Pod as _podwire_v1_Pod, Pod__Output as _podwire_v1_Pod__Output } from '../../podwire/v1/Pod.ts';

export interface ListPodsResponse {
  'pods'?: (_podwire_v1_Pod)[];
}

export interface ListPodsResponse__Output {
  'pods': (_podwire_v1_Pod__Output)[];
}
