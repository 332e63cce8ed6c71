// Original file: proto/podwire.proto


export interface DeleteNetworkResponse {
}

export interface DeleteNetworkResponse__Output {
}
