// Original file: proto/podwire.proto


export interface ListNodesRequest {
}

export interface ListNodesRequest__Output {
}
