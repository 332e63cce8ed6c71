// Original file: proto/podwire.proto

import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from '../../podwire/v1/Network.ts';

export interface CreateNetworkRequest {
  'network'?: (_podwire_v1_Network | null);
}

export interface CreateNetworkRequest__Output {
  'network': (_podwire_v1_Network__Output | null);
}
