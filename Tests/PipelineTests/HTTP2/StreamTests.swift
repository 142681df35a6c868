import Pipeline
import Testing

@testable import Pipeline

@Suite("Streams and their windows")
struct HTTP2StreamTests {
    @Test("§6.9.1: a send window ends at 2^31 - 1, and stays as it was if it would go over")
    func sendWindow() {
        var window = SendWindow()
        check(window.available == 65_535)
        window.take(65_535)
        check(window.available == 0 && window.move(by: 10) && window.available == 10)
        check(!window.move(by: HTTP2Limits.windowMax) && window.available == 10)
        check(window.move(by: HTTP2Limits.windowMax - 10) && window.bytes == HTTP2Limits.windowMax)
    }

    @Test("§6.9.2: smaller settings make open windows negative, and updates fill them from there")
    func negative() {
        var window = SendWindow(bytes: 65_535)
        window.take(60_000)
        check(window.move(by: 16_384 - 65_535) && window.bytes == -43_616 && window.available == 0)
        check(window.move(by: 43_616) && window.available == 0)
        check(window.move(by: 1) && window.available == 1)
    }

    @Test("Room is given back for what is held no longer, by halves, and never more than there is")
    func receiveWindow() {
        var window = ReceiveWindow(size: 100)
        check(window.receive(60) && window.held == 60 && !window.receive(41))
        check(window.release(30) == 0 && window.held == 30)
        check(window.release(20) == 50)
        check(window.receive(90) && !window.receive(1) && window.held == 100)
        check(window.release(100) == 100 && window.held == 0)
        // The connection's: the peer begins with the default, and is told the rest as soon as anything is.
        var connection = ReceiveWindow(size: 1 << 20, announced: 65_535)
        check(connection.release(0) == (1 << 20) - 65_535)
    }

    @Test("Seeded: whatever comes and goes, no byte of room is lost or made")
    func conservation() {
        var random = Random(seed: 9)
        for _ in 0..<200 {
            let size = 1 + Int(random.next() % 1_000)
            var ours = ReceiveWindow(size: size)
            var theirs = SendWindow(bytes: size)
            var held = 0
            for _ in 0..<500 {
                if random.next() % 2 == 0, theirs.available > 0 {
                    let count = 1 + Int(random.next() % UInt64(theirs.available))
                    theirs.take(count)
                    check(ours.receive(count))
                    held += count
                } else if held > 0 {
                    let count = 1 + Int(random.next() % UInt64(held))
                    held -= count
                    let increment = ours.release(count)
                    if increment > 0 { check(theirs.move(by: increment)) }
                }
                check(ours.held == held)
            }
            let last = ours.release(held)
            if last > 0 { check(theirs.move(by: last)) }
            check(theirs.available * 2 >= size)
        }
    }

    @Test("A stream counts what was announced: more, or less at its end, is a fault of the stream")
    func length() {
        var stream = HTTP2Stream(number: 1, sendBytes: 10, receiveBytes: 10)
        check(stream.takeData(1, endsStream: false)?.code == .protocolError)
        stream.hasHead = true
        stream.lengthLeft = 5
        check(stream.takeData(2, endsStream: false) == nil)
        var more = stream, less = stream, right = stream
        check(more.takeData(4, endsStream: false) == HTTP2Fault(.protocolError, .stream(1)))
        check(less.takeData(2, endsStream: true) == HTTP2Fault(.protocolError, .stream(1)))
        check(right.takeData(3, endsStream: true) == nil && right.peerEnded && !right.isOver)
        // §5.1: half-closed (remote).
        check(right.takeData(0, endsStream: false) == HTTP2Fault(.streamClosed, .stream(1)))
        right.weEnded = true
        check(right.isOver)
    }

    @Test("Streams keep their places while others come and go; a full table takes no more")
    func table() {
        let capacity = 16
        let memory = UnsafeMutableRawPointer.allocate(byteCount: StreamTable.memoryBytes(capacity: capacity), alignment: 16)
        defer { memory.deallocate() }
        var table = StreamTable(memory: memory, capacity: capacity)
        var random = Random(seed: 7)
        var living: [UInt32: Int] = [:]
        var next: UInt32 = 1
        for _ in 0..<20_000 {
            if random.next() % 2 == 0 {
                let place = table.open(HTTP2Stream(number: next, sendBytes: 100, receiveBytes: 100))
                check((place < 0) == (living.count == capacity))
                if place >= 0 {
                    check(!living.values.contains(place) && place < capacity)
                    living[next] = place
                }
                next += 2
            } else if let number = living.keys.min(by: { ($0 ^ 0x55) < ($1 ^ 0x55) }) {
                table.close(number)
                living[number] = nil
                check(table.place(of: number) < 0)
                table.close(number)
            }
            check(table.count == living.count)
            for (number, place) in living { check(table.place(of: number) == place && table[place].pointee.number == number) }
        }
        check(Set((0..<table.count).map { table[table.place(at: $0)].pointee.number }) == Set(living.keys))
    }

    @Test("New settings move every stream's window, and a window over the bound is found")
    func settings() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: StreamTable.memoryBytes(capacity: 4), alignment: 16)
        defer { memory.deallocate() }
        var table = StreamTable(memory: memory, capacity: 4)
        let first = table.open(HTTP2Stream(number: 1, sendBytes: 100, receiveBytes: 100))
        let second = table.open(HTTP2Stream(number: 3, sendBytes: 200, receiveBytes: 100))
        check(table.moveSendWindows(by: -150) && table[first].pointee.send.bytes == -50 && table[second].pointee.send.bytes == 50)
        check(!table.moveSendWindows(by: HTTP2Limits.windowMax))
    }
}
