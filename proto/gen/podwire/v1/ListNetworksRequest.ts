// Original file: proto/podwire.proto


export interface ListNetworksRequest {
}

export interface ListNetworksRequest__Output {
}
