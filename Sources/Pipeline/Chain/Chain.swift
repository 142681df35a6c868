/// The stages that take part in one phase, in order, and their filters under every settings scope.
@safe
package struct PhaseList<F>: ~Copyable {
    /// Stage index of each entry, ascending.
    package private(set) var stages: ContiguousArray<UInt8> = []
    /// Row-major: `scope * stages.count + entry`.
    package private(set) var filters: ContiguousArray<F> = []
    /// For every stage index 0...stageCount, the first entry at or after it.
    package private(set) var start: ContiguousArray<UInt8> = []

    package var count: Int { stages.count }

    /// `rows[scope][stage]` is the filter instance of that stage under that scope.
    package init(_ rows: [[any Filter]], as type: (any Filter) -> F?) {
        guard let first = rows.first else { return }
        for (stage, filter) in first.enumerated() {
            start.append(UInt8(stages.count))
            if type(filter) != nil { stages.append(UInt8(stage)) }
        }
        start.append(UInt8(stages.count))
        for row in rows {
            for stage in stages {
                if let filter = type(row[Int(stage)]) { filters.append(filter) }
            }
        }
    }
}

/// The filter that says where an exchange is bound; apart for the reasons given in `PhaseList+Walking`.
@safe
package struct Resolver: ~Copyable {
    let filter: any DestinationResolver

    @inline(never)
    borrowing func resolve(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Destination { unsafe filter.resolve(Exchange(x)) }
}

/// An ordered list of stages, ready to run on one event loop.
///
/// Built off a snapshot, held by pointer, and kept until its last exchange has ended; a swap only makes another one
/// current. Nothing in it changes after it is built but the count of its users.
@safe
package struct Chain: ~Copyable {
    /// Which snapshot it was built from; larger is newer.
    package let generation: UInt64
    package let stageIDs: [String]
    package let stageCount: Int
    package let scopeCount: Int
    package let slotBytes: Int
    /// Where each stage's slots begin, and the end.
    package let slotStart: ContiguousArray<Int>

    package let connection: PhaseList<any ConnectionFilter>
    package let requestHead: PhaseList<any RequestHeadFilter>
    package let requestBody: PhaseList<any RequestBodyFilter>
    package let responseHead: PhaseList<any ResponseHeadFilter>
    package let responseBody: PhaseList<any ResponseBodyFilter>
    package let failure: PhaseList<any FailureFilter>
    package let outcome: PhaseList<any OutcomeFilter>
    package let reviews: PhaseList<any ReviewFilter>
    package let streams: PhaseList<any StreamFilter>
    package let router: Resolver
    /// From the `tls` stage; nil without one.
    package let transport: TransportSecurity?

    /// Keeps shared state alive while this chain names it, and whatever else the chain's filters point into.
    private let owned: [AnyObject]

    /// Exchanges and connections that still use it.
    package var users = 0

    /// `rows[scope][stage]`; every row has one filter per stage, the same instance where scopes do not differ.
    package init(generation: UInt64, stageIDs: [String], rows: [[any Filter]], slotStart: [Int], owned: [AnyObject]) throws(ChainError) {
        guard let first = rows.first, !first.isEmpty else { throw .noStages }
        guard first.count <= ExchangeMemory.stagesMax else { throw .tooManyStages(first.count) }
        guard let router = first.lazy.compactMap({ $0 as? any DestinationResolver }).first else { throw .noRouter }
        guard (slotStart.last ?? 0) <= ExchangeMemory.slotBytesMax else { throw .slotsTooLarge(slotStart.last ?? 0) }
        self.generation = generation
        self.stageIDs = stageIDs
        stageCount = first.count
        scopeCount = rows.count
        self.slotStart = ContiguousArray(slotStart)
        slotBytes = slotStart.last ?? 0
        connection = PhaseList(rows) { $0 as? any ConnectionFilter }
        requestHead = PhaseList(rows) { $0 as? any RequestHeadFilter }
        requestBody = PhaseList(rows) { $0 as? any RequestBodyFilter }
        responseHead = PhaseList(rows) { $0 as? any ResponseHeadFilter }
        responseBody = PhaseList(rows) { $0 as? any ResponseBodyFilter }
        failure = PhaseList(rows) { $0 as? any FailureFilter }
        outcome = PhaseList(rows) { $0 as? any OutcomeFilter }
        reviews = PhaseList(rows) { $0 as? any ReviewFilter }
        streams = PhaseList(rows) { $0 as? any StreamFilter }
        self.router = Resolver(filter: router)
        transport = first.lazy.compactMap({ $0 as? any TransportFilter }).first?.transport
        self.owned = owned
    }

    /// Runs the connection phase; true if every filter lets the connection pass, otherwise the reason.
    package borrowing func admit(_ connection: borrowing Connection) -> ConnectionVerdict {
        var index = 0
        while index < self.connection.count {
            let verdict = self.connection.filters[index].onConnection(connection)
            if case .refuse = verdict { return verdict }
            index &+= 1
        }
        return .next
    }

    /// Runs the review phase for a tunnel that began under another chain.
    package borrowing func review(_ x: UnsafeMutablePointer<ExchangeStorage>, scope: Int) -> ConnectionVerdict {
        let row = scope < scopeCount ? scope : 0
        var entry = 0
        while entry < reviews.count {
            let verdict = unsafe reviews.filters[row &* reviews.count &+ entry].onReview(Exchange(x))
            if case .refuse = verdict { return verdict }
            entry &+= 1
        }
        return .next
    }

    package borrowing func connectionEnded(_ connection: borrowing Connection) {
        var index = self.connection.count - 1
        while index >= 0 {
            self.connection.filters[index].onConnectionEnd(connection)
            index &-= 1
        }
    }
}

/// Why a chain cannot be built.
package enum ChainError: Error, Equatable, Sendable {
    case noStages
    case tooManyStages(Int)
    case noRouter
    case slotsTooLarge(Int)
}
