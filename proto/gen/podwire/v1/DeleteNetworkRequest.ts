// Original file: proto/podwire.proto


export interface DeleteNetworkRequest {
  'name'?: (string);
}

export interface DeleteNetworkRequest__Output {
  'name': (string);
}
