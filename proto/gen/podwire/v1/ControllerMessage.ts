// Original file: proto/podwire.proto

import type { Lease as _podwire_v1_Lease, Lease__Output as _podwire_v1_Lease__Output } from '../../podwire/v1/Lease.ts';
import type { Snapshot as _podwire_v1_Snapshot, Snapshot__Output as _podwire_v1_Snapshot__Output } from '../../podwire/v1/Snapshot.ts';
import type { Delta as _podwire_v1_Delta, Delta__Output as _podwire_v1_Delta__Output } from '../../podwire/v1/Delta.ts';
import type { Secrets as _podwire_v1_Secrets, Secrets__Output as _podwire_v1_Secrets__Output } from '../../podwire/v1/Secrets.ts';

export interface ControllerMessage {
  'lease'?: (_podwire_v1_Lease | null);
  'snapshot'?: (_podwire_v1_Snapshot | null);
  'delta'?: (_podwire_v1_Delta | null);
  'secrets'?: (_podwire_v1_Secrets | null);
  'kind'?: "lease"|"snapshot"|"delta"|"secrets";
}

export interface ControllerMessage__Output {
  'lease'?: (_podwire_v1_Lease__Output | null);
  'snapshot'?: (_podwire_v1_Snapshot__Output | null);
  'delta'?: (_podwire_v1_Delta__Output | null);
  'secrets'?: (_podwire_v1_Secrets__Output | null);
  'kind'?: "lease"|"snapshot"|"delta"|"secrets";
}
