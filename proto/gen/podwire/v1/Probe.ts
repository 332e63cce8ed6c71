// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface Probe {
  'network'?: (string);
  'nodeId'?: (string);
  'nodeName'?: (string);
  'family'?: (number);
  'verdict'?: (string);
  'message'?: (string);
  'since'?: (number | string | Long);
}

export interface Probe__Output {
  'network': (string);
  'nodeId': (string);
  'nodeName': (string);
  'family': (number);
  'verdict': (string);
  'message': (string);
  'since': (number);
}
