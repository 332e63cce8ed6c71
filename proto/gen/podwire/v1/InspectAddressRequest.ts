// Original file: proto/podwire.proto


export interface InspectAddressRequest {
  'address'?: (string);
}

export interface InspectAddressRequest__Output {
  'address': (string);
}
