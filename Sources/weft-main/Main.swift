import Weft

@main
enum Main {
    static func main() { Weft.main() }
}
