// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface HeldSubnet {
  'network'?: (string);
  'subnet'?: (string);
  'epoch'?: (number | string | Long);
}

export interface HeldSubnet__Output {
  'network': (string);
  'subnet': (string);
  'epoch': (number);
}
