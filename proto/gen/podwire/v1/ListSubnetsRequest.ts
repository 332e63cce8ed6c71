// Original file: proto/podwire.proto


export interface ListSubnetsRequest {
  'network'?: (string);
}

export interface ListSubnetsRequest__Output {
  'network': (string);
}
