// Original file: proto/podwire.proto

import type { HeldSubnet as _podwire_v1_HeldSubnet, HeldSubnet__Output as _podwire_v1_HeldSubnet__Output } from '../../podwire/v1/HeldSubnet.ts';

export interface Hello {
  'nodeId'?: (string);
  'nodeName'?: (string);
  'addresses'?: (string)[];
  'backends'?: (string)[];
  'networks'?: (string)[];
  'held'?: (_podwire_v1_HeldSubnet)[];
  'version'?: (string);
  'bootId'?: (string);
  'publicKey'?: (string);
}

export interface Hello__Output {
  'nodeId': (string);
  'nodeName': (string);
  'addresses': (string)[];
  'backends': (string)[];
  'networks': (string)[];
  'held': (_podwire_v1_HeldSubnet__Output)[];
  'version': (string);
  'bootId': (string);
  'publicKey': (string);
}
