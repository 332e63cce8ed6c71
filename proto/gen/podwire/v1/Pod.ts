// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface Pod {
  'network'?: (string);
  'containerId'?: (string);
  'interfaceName'?: (string);
  'namespace'?: (string);
  'name'?: (string);
  'addresses'?: (string)[];
  'createdAt'?: (number | string | Long);
  'nodeName'?: (string);
}

export interface Pod__Output {
  'network': (string);
  'containerId': (string);
  'interfaceName': (string);
  'namespace': (string);
  'name': (string);
  'addresses': (string)[];
  'createdAt': (number);
  'nodeName': (string);
}
