// Original file: proto/podwire.proto

import type { Hello as _podwire_v1_Hello, Hello__Output as _podwire_v1_Hello__Output } from '../../podwire/v1/Hello.ts';
import type { Ack as _podwire_v1_Ack, Ack__Output as _podwire_v1_Ack__Output } from '../../podwire/v1/Ack.ts';
import type { Renew as _podwire_v1_Renew, Renew__Output as _podwire_v1_Renew__Output } from '../../podwire/v1/Renew.ts';
import type { NodeStatus as _podwire_v1_NodeStatus, NodeStatus__Output as _podwire_v1_NodeStatus__Output } from '../../podwire/v1/NodeStatus.ts';

export interface NodeMessage {
  'hello'?: (_podwire_v1_Hello | null);
  'ack'?: (_podwire_v1_Ack | null);
  'renew'?: (_podwire_v1_Renew | null);
  'status'?: (_podwire_v1_NodeStatus | null);
  'kind'?: "hello"|"ack"|"renew"|"status";
}

export interface NodeMessage__Output {
  'hello'?: (_podwire_v1_Hello__Output | null);
  'ack'?: (_podwire_v1_Ack__Output | null);
  'renew'?: (_podwire_v1_Renew__Output | null);
  'status'?: (_podwire_v1_NodeStatus__Output | null);
  'kind'?: "hello"|"ack"|"renew"|"status";
}
