import Foundation
import Pipeline
import Testing

private let storiesFolder = ProcessInfo.processInfo.environment["WEFT_HPACK_STORIES"]

/// Stories of http2jp/hpack-test-case, if `WEFT_HPACK_STORIES` names the folder that holds them (`<encoder>/story_NN.json`).
@Suite("HPACK stories", .enabled(if: storiesFolder != nil, "WEFT_HPACK_STORIES names no folder of stories"))
struct HPACKSuiteTests {
    private struct Story: Decodable {
        struct Case: Decodable {
            let wire: String?
            let headers: [[String: String]]
            let header_table_size: Int?
        }
        let cases: [Case]
    }

    @Test("Every header list of every story is decoded, and what is encoded of it decodes back to it")
    func stories() throws {
        let folder = try #require(storiesFolder)
        let files = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".json") }.sorted()
        var blocks = 0
        var wireBytes = 0
        var ownBytes = 0
        for file in files {
            let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + file))
            let story = try JSONDecoder().decode(Story.self, from: data)
            let decoder = DecodingPeer(tableBytes: 16_384)
            let encoder = EncodingPeer()
            let back = DecodingPeer()
            // The size a story begins with was agreed on before it.
            var tableBytes = story.cases.first?.header_table_size ?? 4_096
            decoder.decoder.peerAcknowledged(tableBytes: max(tableBytes, 4_096))
            for (number, item) in story.cases.enumerated() {
                if let size = item.header_table_size, size != tableBytes {
                    tableBytes = size
                    decoder.decoder.peerAcknowledged(tableBytes: size)
                }
                let wire = hex(item.wire ?? "")
                let fields = item.headers.flatMap { $0.map { HPACKField($0.key, $0.value) } }
                let read = decoder.decode(wire)
                #expect(read.fault == nil && !read.isOverLimit, "\(file) \(number)")
                #expect(read.fields.map(\.description) == fields.map(\.description), "\(file) \(number)")
                let own = try #require(encoder.encode(fields))
                #expect(back.decode(own).fields.map(\.description) == fields.map(\.description), "\(file) \(number)")
                blocks += 1
                wireBytes += wire.count
                ownBytes += own.count
            }
        }
        #expect(blocks > 0)
        print("HPACK stories: \(files.count) files, \(blocks) blocks of \(wireBytes) bytes; our encoder: \(ownBytes)")
    }
}
