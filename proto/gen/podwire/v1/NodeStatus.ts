// Original file: proto/podwire.proto

import type { Pod as _podwire_v1_Pod, Pod__Output as _podwire_v1_Pod__Output } from '../../podwire/v1/Pod.ts';
import type { Condition as _podwire_v1_Condition, Condition__Output as _podwire_v1_Condition__Output } from '../../podwire/v1/Condition.ts';
import type { Probe as _podwire_v1_Probe, Probe__Output as _podwire_v1_Probe__Output } from '../../podwire/v1/Probe.ts';
import type { BackendProgress as _podwire_v1_BackendProgress, BackendProgress__Output as _podwire_v1_BackendProgress__Output } from '../../podwire/v1/BackendProgress.ts';

export interface NodeStatus {
  'pods'?: (_podwire_v1_Pod)[];
  'conditions'?: (_podwire_v1_Condition)[];
  'probes'?: (_podwire_v1_Probe)[];
  'backends'?: (_podwire_v1_BackendProgress)[];
}

export interface NodeStatus__Output {
  'pods': (_podwire_v1_Pod__Output)[];
  'conditions': (_podwire_v1_Condition__Output)[];
  'probes': (_podwire_v1_Probe__Output)[];
  'backends': (_podwire_v1_BackendProgress__Output)[];
}
