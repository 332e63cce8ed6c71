// Original file: proto/podwire.proto


export interface ListPodsRequest {
  'network'?: (string);
  'nodeName'?: (string);
}

export interface ListPodsRequest__Output {
  'network': (string);
  'nodeName': (string);
}
