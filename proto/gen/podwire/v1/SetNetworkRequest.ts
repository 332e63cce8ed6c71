// Original file: proto/podwire.proto

import type { Backend as _podwire_v1_Backend, Backend__Output as _podwire_v1_Backend__Output } from '../../podwire/v1/Backend.ts';

export interface SetNetworkRequest {
  'name'?: (string);
  'backend'?: (_podwire_v1_Backend | null);
}

export interface SetNetworkRequest__Output {
  'name': (string);
  'backend': (_podwire_v1_Backend__Output | null);
}
