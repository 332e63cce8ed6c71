// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface Ack {
  'revision'?: (number | string | Long);
  'failures'?: (string)[];
  'secretsEpoch'?: (number | string | Long);
}

export interface Ack__Output {
  'revision': (number);
  'failures': (string)[];
  'secretsEpoch': (number);
}
