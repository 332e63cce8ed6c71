// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface BackendProgress {
  'network'?: (string);
  'receives'?: (number | string | Long);
  'sends'?: (number | string | Long);
}

export interface BackendProgress__Output {
  'network': (string);
  'receives': (number);
  'sends': (number);
}
