internal import CZstd

/// zstd for batches and snapshots: a context that is reused, and decompression that cannot be made to eat the memory.
///
/// Not thread-safe: one per loop.
package final class Zstd {
    package enum Problem: Error, Equatable, Sendable {
        /// More than the caller's limit comes out.
        case tooLarge
        /// Not zstd, damaged, cut off, or with a larger window than we allow.
        case malformed
        case outOfMemory
    }

    /// Level 1: 13 times smaller on metrics, at 36 µs per 34 KB; higher levels gain 15 % at eight times the CPU.
    package static let level: Int32 = 1
    /// A frame may ask for a window of 2²³ bytes (8 MiB, the most the format's standard wants decoders to take).
    package static let windowLogMax: Int32 = 23
    /// How much larger than the input the output may be, beyond the first mebibyte: text of one letter compresses ten
    /// thousandfold, our batches thirtyfold.
    package static let ratioMax = 1_000

    private let compressor: OpaquePointer
    private let decompressor: OpaquePointer

    package init() throws(Problem) {
        guard let compressor = ZSTD_createCCtx() else { throw .outOfMemory }
        guard let decompressor = ZSTD_createDCtx() else {
            ZSTD_freeCCtx(compressor)
            throw .outOfMemory
        }
        self.compressor = compressor
        self.decompressor = decompressor
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, Self.level)
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_checksumFlag, 1)
        ZSTD_DCtx_setParameter(decompressor, ZSTD_d_windowLogMax, Self.windowLogMax)
    }

    deinit {
        ZSTD_freeCCtx(compressor)
        ZSTD_freeDCtx(decompressor)
    }

    package func compress(_ bytes: [UInt8]) throws(Problem) -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        var size = 0
        let out = [UInt8](unsafeUninitializedCapacity: bound) { buffer, initialized in
            size = ZSTD_compress2(compressor, buffer.baseAddress, bound, bytes, bytes.count)
            initialized = ZSTD_isError(size) == 0 ? size : 0
        }
        guard ZSTD_isError(size) == 0 else { throw .outOfMemory }
        return out
    }

    /// One whole frame, whose content is at most `limit` bytes. Memory grows with what really comes out, never with what the
    /// frame's header claims.
    package func decompress(_ bytes: [UInt8], limit: Int) throws(Problem) -> [UInt8] {
        ZSTD_DCtx_reset(decompressor, ZSTD_reset_session_only)
        let (scaled, overflow) = bytes.count.multipliedReportingOverflow(by: Self.ratioMax)
        let bound = min(limit, overflow ? .max : max(scaled, 1 << 20))
        let piece = ZSTD_DStreamOutSize()
        var out: [UInt8] = []
        var position = 0
        while true {
            var result = 0
            let consumedBefore = position
            let chunk = [UInt8](unsafeUninitializedCapacity: piece) { buffer, initialized in
                bytes.withUnsafeBytes { input in
                    var from = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: position)
                    var to = ZSTD_outBuffer(dst: buffer.baseAddress, size: piece, pos: 0)
                    result = ZSTD_decompressStream(decompressor, &to, &from)
                    position = from.pos
                    initialized = to.pos
                }
            }
            guard ZSTD_isError(result) == 0 else { throw .malformed }
            guard out.count + chunk.count <= bound else { throw .tooLarge }
            out += chunk
            if result == 0 {
                guard position == bytes.count else { throw .malformed }
                return out
            }
            // Nothing left to feed and nothing came out: the frame is cut off.
            if chunk.isEmpty, position == consumedBefore { throw .malformed }
        }
    }
}
