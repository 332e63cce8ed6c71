// Original file: proto/podwire.proto

import type { Network as _podwire_v1_Network, Network__Output as _podwire_v1_Network__Output } from '../../podwire/v1/Network.ts';

export interface ListNetworksResponse {
  'networks'?: (_podwire_v1_Network)[];
}

export interface ListNetworksResponse__Output {
  'networks': (_podwire_v1_Network__Output)[];
}
