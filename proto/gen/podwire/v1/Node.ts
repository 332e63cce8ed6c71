// Original file: proto/podwire.proto

import type { Condition as _podwire_v1_Condition, Condition__Output as _podwire_v1_Condition__Output } from '../../podwire/v1/Condition.ts';
import type { Subnet as _podwire_v1_Subnet, Subnet__Output as _podwire_v1_Subnet__Output } from '../../podwire/v1/Subnet.ts';
import type { Probe as _podwire_v1_Probe, Probe__Output as _podwire_v1_Probe__Output } from '../../podwire/v1/Probe.ts';
import type { Long } from '@grpc/proto-loader';

export interface Node {
  'id'?: (string);
  'name'?: (string);
  'addresses'?: (string)[];
  'backends'?: (string)[];
  'connected'?: (boolean);
  'connectedSince'?: (number | string | Long);
  'lastSeen'?: (number | string | Long);
  'appliedRevision'?: (number | string | Long);
  'appliedAt'?: (number | string | Long);
  'failures'?: (string)[];
  'conditions'?: (_podwire_v1_Condition)[];
  'subnets'?: (_podwire_v1_Subnet)[];
  'podCount'?: (number);
  'version'?: (string);
  'createdAt'?: (number | string | Long);
  'probes'?: (_podwire_v1_Probe)[];
}

export interface Node__Output {
  'id': (string);
  'name': (string);
  'addresses': (string)[];
  'backends': (string)[];
  'connected': (boolean);
  'connectedSince': (number);
  'lastSeen': (number);
  'appliedRevision': (number);
  'appliedAt': (number);
  'failures': (string)[];
  'conditions': (_podwire_v1_Condition__Output)[];
  'subnets': (_podwire_v1_Subnet__Output)[];
  'podCount': (number);
  'version': (string);
  'createdAt': (number);
  'probes': (_podwire_v1_Probe__Output)[];
}
