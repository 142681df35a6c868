import FuzzOracles
import Glibc

/// What libFuzzer calls. One program holds all targets: the name it is started by says which one it is, `fuzz-request`.
///
/// Only `make fuzz` links these two; nothing else refers to them.
nonisolated(unsafe) private var target: FuzzTarget?

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>
) -> CInt {
    let name = arguments.pointee?[0].map { String(cString: $0).split(separator: "/").last ?? "" } ?? ""
    target = FuzzTarget.all.first { "fuzz-\($0.name)" == name }
    guard let target else { fatalError("start it by one of the names \(FuzzTarget.all.map { "fuzz-\($0.name)" })") }
    // For -max_len of the run that follows.
    if count.pointee == 2, let argument = arguments.pointee?[1], String(cString: argument) == "--bytes" {
        print(target.inputBytesMax)
        exit(0)
    }
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do { try target?.check(UnsafeRawBufferPointer(start: data, count: count)) } catch { fatalError("\(error)") }
    return 0
}
