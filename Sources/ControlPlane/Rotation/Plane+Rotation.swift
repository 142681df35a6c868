internal import Host
internal import Pipeline

/// Root rotation as the control plane runs it: `RootRotation` says what the next step waits for, here it is seen whether that
/// has come, and the step is made known.
///
///     rotate ─▶ both roots pushed as trust ─▶ all trust both ─▶ the new root issues, everybody is told to renew
///            ─▶ all have shown a certificate of the new one ─▶ the new root alone pushed as trust, the old one's key deleted
///
/// Every step is in the store before anybody hears of it, and so is what the sidecars answered: a control plane that is started
/// again in the middle goes on from there.
extension Plane {
    /// What stands between a rotation and its next step.
    struct RotationWait {
        /// By `SidecarRecord.key`, sorted.
        let holders: [String]
        /// What they have not done.
        let what: String
    }

    var rotationWait: RotationWait? {
        let now = UnixTime(Clock.unixSeconds())
        switch authority.rotation.phase {
        case .steady: return nil
        case .spreading(_, let new):
            return RotationWait(holders: certificates.withoutTrust(in: authority.keyID(new), at: now), what: "does not trust the new root yet")
        case .retiring(let old, _, _):
            return RotationWait(holders: certificates.holders(of: authority.keyID(old), at: now), what: "has a certificate of the old root")
        }
    }

    // MARK: Operators

    func rotate(_ request: ServiceRequest, _ reply: ServiceReply) {
        let force: Bool
        do {
            force = try RequestBody(request, keys: ["force"]).root["force"]?.bool ?? false
        } catch {
            return reply.respond(error.response)
        }
        do {
            if case .steady = authority.rotation.phase {
                guard try authority.beginRotation(at: UnixTime(Clock.unixSeconds())) else { return reply.respond(.error(500, "no rotation could be begun")) }
                try renewOwnCertificate()
                trustVersion = ""
                Log.note("root rotation begun", ["new": authority.rotation.newest.fingerprint.hex])
                setNeedsCompile()
            } else if force {
                try stepRotation(isForced: true)
            } else {
                return reply.respond(.error(409, "a rotation is under way: weft ca status says what it waits for; --force goes on without"))
            }
        } catch let error as StoreError {
            return reply.respond(storeFailure(error))
        } catch {
            return reply.respond(.error(500, "\(error)"))
        }
        whenDurable { [unowned self] in reply.respond(authorityView()) }
    }

    // MARK: Steps

    /// Once a second: the next step if it may be taken, and a word to those who have not renewed.
    func advanceRotation() {
        if case .steady = authority.rotation.phase { return }
        for record in sidecars.values where record.stream != nil { noteTrust(of: record) }
        do { try stepRotation(isForced: false) } catch { Log.note("root rotation does not go on", ["why": "\(error)"]) }
        remindOfRenewal()
    }

    private func stepRotation(isForced: Bool) throws {
        let waiting = isForced ? [] : rotationWait?.holders ?? []
        let dropped = isForced ? rotationWait?.holders ?? [] : []
        let effect = try authority.advanceRotation(at: UnixTime(Clock.unixSeconds()), sidecarsWithoutNew: waiting.count, leavesOfOld: waiting.count)
        switch effect {
        case .none: return
        case .issueFromNew:
            Log.note("new root issues", ["new": authority.rotation.newest.fingerprint.hex, "left behind": "\(dropped.count)"])
            renewalReminder = .zero
        case .dropOld(let old):
            Log.note("old root dropped", ["old": old.fingerprint.hex, "left behind": "\(dropped.count)"])
            whenDurable { [authority] in authority.deleteKey(of: old) }
            setNeedsCompile()
        }
        try renewOwnCertificate()
        scheduleTurn()
    }

    /// Whoever is connected with a certificate of another root than the one that issues is asked to renew; again each window,
    /// for the word or the answer may have been lost.
    private func remindOfRenewal() {
        guard case .retiring(_, let new, _) = authority.rotation.phase, uptime >= renewalReminder else { return }
        renewalReminder = uptime + settings.renewalWindow + .seconds(10)
        let issuer = authority.keyID(new)
        for record in Array(sidecars.values) where record.stream != nil && record.certificateIssuer != issuer {
            send(.renewCertificate(within: settings.renewalWindow), record)
        }
    }

    // MARK: What sidecars prove

    /// A stream was opened with this certificate.
    func noteCertificate(of record: SidecarRecord, _ peer: PeerIdentity) {
        record.certificateEnds = peer.expires
        record.certificateIssuer = peer.issuer
        store(certificates.showed(record.key, .init(root: peer.issuer, ends: UnixTime(peer.expires))))
        guard case .retiring(_, let new, _) = authority.rotation.phase, peer.issuer != authority.keyID(new) else { return }
        send(.renewCertificate(within: settings.renewalWindow), record)
    }

    /// It may run on the newest trust part now.
    func noteTrust(of record: SidecarRecord) {
        guard record.publisher.running(.trust) == trustVersion else { return }
        store(certificates.trusts(record.key, authority.keyID(authority.rotation.newest)))
    }

    func noteLeft(_ record: SidecarRecord) { store(certificates.left(record.key)) }

    func store(_ change: Change?) {
        guard let change else { return }
        do {
            _ = try store.append([change])
            scheduleTurn()
        } catch {
            Log.note("not stored", ["key": change.key, "why": "\(error)"])
        }
    }

    // MARK: What is shown

    /// Holders that are named; the number is told of all.
    private static let namedMax = 100

    func authorityView() -> ServiceResponse {
        let (rotation, now) = (authority.rotation, UnixTime(Clock.unixSeconds()))
        let wait = rotationWait
        return .json {
            $0.member("trustDomain", authority.trustDomain)
            switch rotation.phase {
            case .steady: $0.member("phase", "steady")
            case .spreading: $0.member("phase", "spreading")
            case .retiring(_, _, let until):
                $0.member("phase", "retiring")
                $0.member("oldRootGoesAtLatest", Timestamp(until.seconds).description)
            }
            $0.key("roots")
            $0.array {
                for root in rotation.trusted {
                    $0.object {
                        $0.member("sha256", root.fingerprint.hex)
                        $0.member("issues", root == rotation.issuer)
                        $0.member("ends", Timestamp((authority.ends(root) ?? now).seconds).description)
                        $0.member("certificates", certificates.holders(of: authority.keyID(root), at: now).count)
                    }
                }
            }
            $0.member("waitingFor", wait?.holders.count ?? 0)
            $0.key("waiting")
            $0.array {
                guard let wait else { return }
                for key in wait.holders.prefix(Self.namedMax) {
                    let record = sidecars[key]
                    $0.object {
                        $0.member("sidecar", key)
                        $0.member("why", record?.publisher.reason(.trust) ?? wait.what)
                        $0.member("connected", record?.stream != nil)
                        let ends = certificates.holders[key]?.leaves.map(\.ends).max() ?? now
                        $0.member("certificateEnds", Timestamp(ends.seconds).description)
                    }
                }
            }
        }
    }
}
