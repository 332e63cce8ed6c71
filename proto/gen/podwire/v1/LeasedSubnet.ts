// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface LeasedSubnet {
  'subnet'?: (string);
  'epoch'?: (number | string | Long);
}

export interface LeasedSubnet__Output {
  'subnet': (string);
  'epoch': (number);
}
