// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface WatchResponse {
  'revision'?: (number | string | Long);
  'kinds'?: (string)[];
}

export interface WatchResponse__Output {
  'revision': (number);
  'kinds': (string)[];
}
