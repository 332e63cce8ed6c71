// Original file: proto/podwire.proto

export const LeaseState = {
  LEASE_STATE_UNSPECIFIED: 'LEASE_STATE_UNSPECIFIED',
  LEASE_STATE_HELD: 'LEASE_STATE_HELD',
  LEASE_STATE_FENCED: 'LEASE_STATE_FENCED',
  LEASE_STATE_NONE: 'LEASE_STATE_NONE',
} as const;

export type LeaseState =
  | 'LEASE_STATE_UNSPECIFIED'
  | 0
  | 'LEASE_STATE_HELD'
  | 1
  | 'LEASE_STATE_FENCED'
  | 2
  | 'LEASE_STATE_NONE'
  | 3

export type LeaseState__Output = typeof LeaseState[keyof typeof LeaseState]
