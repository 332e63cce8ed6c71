// Original file: proto/podwire.proto

import type { Long } from '@grpc/proto-loader';

export interface Subnet {
  'network'?: (string);
  'subnet'?: (string);
  'epoch'?: (number | string | Long);
  'nodeId'?: (string);
  'nodeName'?: (string);
  'addresses'?: (string)[];
  'vtepMac'?: (string);
  'reserved'?: (boolean);
  'expiresAt'?: (number | string | Long);
  'createdAt'?: (number | string | Long);
  'revision'?: (number | string | Long);
  'publicKey'?: (string);
  'receives'?: (number | string | Long);
  'sends'?: (number | string | Long);
}

export interface Subnet__Output {
  'network': (string);
  'subnet': (string);
  'epoch': (number);
  'nodeId': (string);
  'nodeName': (string);
  'addresses': (string)[];
  'vtepMac': (string);
  'reserved': (boolean);
  'expiresAt': (number);
  'createdAt': (number);
  'revision': (number);
  'publicKey': (string);
  'receives': (number);
  'sends': (number);
}
