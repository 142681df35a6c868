// Signing requests made with the openssl command line, in PEM.
enum RequestFixtures {
    /// An RSA key that is too short.
    static let rsa1024 = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIIBSzCBtQIBADAMMQowCAYDVQQDDAF4MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB
        iQKBgQCp2QSRgYE1EuEIBDSRtTIAqooP3DF5bv9HkFlzrxk86a3OUM2ue1NIGQKv
        swZvnw2PX7KliFF6QjAQsGLHFI6h80BsOhzhQRCjhiRT5fXNK3YBiz5GedfqHaZK
        OD2PtO9tMZ6Yw7ZRQpDUqfGakIAcm7MOug5OYgtPgxovFyla0wIDAQABoAAwDQYJ
        KoZIhvcNAQELBQADgYEALKh5YyqYHeTs0KjRrp2kjgMo9Nxa8nZzcbif97WgEHCb
        SaOzxQMLJlA96n3WP1pJ4djcteb63FRzVXc7keaSjCMBFEN/UWymu4YZAOR4zlb4
        s/BdhznayQnFCoRot+eWL/uTJEQx/JCqN/qZLd2IJtKKSXqthu59DRv+mlGFNFk=
        -----END CERTIFICATE REQUEST-----
        """
    /// The shortest RSA key that is taken.
    static let rsa2048 = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIICUTCCATkCAQAwDDEKMAgGA1UEAwwBeDCCASIwDQYJKoZIhvcNAQEBBQADggEP
        ADCCAQoCggEBAKD/ZtJ5Z3eM3USKaAfqGFceau1Vo8joYIiPGpsgBp0LB/R5qbjp
        2drkhApn5R2FpB3lMtb8QpAPPG7h3ilTUqSZfZeVTzu3btqxJsI5RVpeLPCbgSiH
        HykelU9abpqT3HMz7X5zF8hTrX7gleMGGMswMfosAGKbU92bxKO3MKqK7U0rJ2Ww
        AUvPP6gNf2XQVTFgQEtCCV1FT48Bgy4dsRdWvH3gIgWN7of/ZzduKshhQWHTThEB
        nwoCKvPM/A2nlf9B0kCZDM6SamMGgCSnMv38yW3pQnxvmvCWr+smUDncr3eqfkRX
        WUMwQW/3silwIHwZAu9I4fzrBApxM/qFahECAwEAAaAAMA0GCSqGSIb3DQEBCwUA
        A4IBAQA8EK70oW4bO2aLTCylLIDJat4sKUtHXkjq8dHw9YyIq5WQXdY5qOPnS3C4
        UmwOHLGQ1qNd1dQ7RDuQ1pRQN18Sz6A3mEniVMhxelWPkDXsRjEPfI9Xgo9FCxWi
        vnTiqPVFNWScZpjZg+JQtRlQz40l/Sd9uslWpr/Bgj4cQOiZz9LbFylWvVDSMkWM
        94hvCQgiqmo+XtBKKMlzkLGvH9hU9SNAodDAnCAT91JMaahtcdP2F/DZKCRvW21T
        ic/XtupKOq44IGdXBKiVVgoYCLyYAxVkWOYdH9MjZ8M90jrzRA3DeDchyKodJzXx
        ZSiSd0vgXLMTtDh6xGvFUMX9OcIX
        -----END CERTIFICATE REQUEST-----
        """
    /// An RSA key that is too long.
    static let rsa8192 = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIIIUTCCBDkCAQAwDDEKMAgGA1UEAwwBeDCCBCIwDQYJKoZIhvcNAQEBBQADggQP
        ADCCBAoCggQBALw1X78sK415lvk8ilhcmWL4cA8HnLjHDsFuhAqoDHSEma8hTcxa
        JqbjZb+6qGxWkgXozlRgL4VE9Ju6MudMG3sNV7rYPRGWzMABvqFOG9ONTYt6e+2S
        wNpIdtPU1soaG/HTIUtK5f6NwXFZqH1cjgd4/q4P3GAL9m2mKQaL1VomDM5UWB7l
        mqvEKqeuMtneYqTHPAs2es0phjaUT2R3Q/UKhHXMKbr6gvmAjAC7nv5SafHJ0mrF
        8TvaGnIJMjaEB+gISF/oWpX0KwJCBr8aUDfelcBPuUv7Px9tl6nVF3cBGKMiDUlH
        DoeQEBmTG4XifgykUwT/IwmleykZlRaulTwM8kx/5Qa9s1SCvaZPtjFMePPqmNIa
        WLFagfv2kki6iPrx203kf2BJl8UDC2zHZ1MWaXHIhJYxBW4/3WUuJij6Wm+ZAWDG
        RCmM3ul47UkfBo/OwDBXWs+g0vfgPflQIWb0/6aAk5q44yvNgNnLsaSafJQHcRJ0
        xrdTv9jpTZo+WEV/8PjHzW9QiW0kBakYlWdCuTpirdZR/zMcD+tNvFVpE1jMekAO
        txUi9FvG3n+6OFmnpfU9wqzx6kMnTAIJuPB+jYYMs7OZeNeQCTdiY7xUUklFQRel
        rOWNjpRlPKM3uNjKMtMjzesokfBYqHjAdbprYTkKd8mTFh/wH6h1Gg/3nG/AFPuJ
        sMfKJwoRcxQk/JqfTLK9b9eTFVs1/PhbtL2bW0A3Q5MFMy1rTqUTdTVesHmsAxRR
        tuxGQrCUhhoOi9xcFIHyAfuCBALhzATQuKmAg4/eKGnfxR0USmSJNzmdtUVg8QwF
        VP8xXNrxiN8FtLuItcjcPB5TlJbyFeLsLiVzK/bxWeCx9awqFgd4TqMGUZ0Apmdw
        puTYXxQ434XpRlFVXraRMIofiCYUWYo/iWn8NBsVEHtWVXCcqw8gV4SCIp2EggFt
        RJj0bOTv+flLMiV+dxPj9ErBTbLo9pC3adbNZk9nZG8chv0EeKfEW4aFouASVRie
        9pCNJvQ7jqy1tf1ngDdyYNtfNr0MZyA+LfxwqxfxLRw5uflS4lAQ2xTzQ8NqnyEB
        43MkrKuyfpoa2Gus9Oz9mevQdAaH788qXPFunc1Sq19a1LTu+phRfBbwpQushA6w
        bIHxJOqBp1zF9l9fpexHoBV/samYJDm/pOYE5ZhFd+sB5HdoFGujpCQeT1CG4iGW
        15IiwX8NCB0JMfWiIDO6bONH9+OIDo/Z7/rxgR7PqxBgjRjbdP2MQOR/ZYm86Xkm
        zTacc74UdnM39INFMT7jO6lATeZZ9cjbGCojGoEjt/7gJPBMyhsA9bC/5jHvzYne
        rGlfPrdv43FfCYIveHDxQjEQ29lPIFbufRkCAwEAAaAAMA0GCSqGSIb3DQEBCwUA
        A4IEAQCV/GuYe3Hj79NPJlKZl8GwywcdmqldDhWEMMldlZ2LOORsar1MpSO1wmbb
        54pI/86A4VPJErwaYYT+pkJWGjObQRM5TpsnMARYV4LQ41EZKFjDUawcR+KkW5CI
        E6DK47HzhW6QnMabK5a9Y7k+0iShC7OsMkOMjqhx8+LKsEgtIkl9i/zgTGu+LylG
        Xu4b6IM0hwNbjLUnguvtgTnOtJpXBWS7FQ/P/pC3Ox5cgpi/25T8wHlmakRY6ofz
        NbgK7ZTLpPCo3QW2ZfIC5kUYUdwKEL2+dysDfg6RAuSWo3O6F0z49K1oPCRr9eYx
        1K9vLE5e1yeuDFwjeyjOIkqsLvUEug9yqNbUDgKRnz3U4MMorqeXbDlS0uPAWfcm
        JX3Ci/tPIpM2TimE0YljJKFyqKl+iAfBycRoxkPNlBUj/4bA9srTGM2zD4sBKF6U
        DDhhQnlVvca8szuB9RkJ1AQM8zQIQuNS3ZEx0/yDmU5MrfvxZfjkMVrzXNXVZ10y
        /J0tqu/mQrdt3wwyX/q+qxUl5dzD5FZB6d7fovEIPaP7UVq54NCdsklwbd+9nsYb
        XQx4fW1NAW8ygzdrRKU/CmbGgn7RdeySd3JQnPIRRmRjAYHhwrX8C58kNGe62Nmo
        Rp0lDHC75AOZ0h7h/j4kLp3awdDQRC0Uul8LqHVer0x81qcWDNOBCRngQyWNgLQX
        GXPLv/kvUzf5Uj7H26syjgXlyqvCrcW1AxlIR/d8Bdn6b8LovQXatNcrZtSNm0lc
        w0VDfZtvR1Pit8TjI60J7psZV4PW/xoMcSTxXw+MMinUirSQxSQDo65LSmYGf4XP
        9oUdXp4acdSOPW/O6gdLkGk2ho25oB1WXM06kZ1ONUwVhPZH6Ku5kmxqYXtBJv09
        hvs4Zc3rXVFbL/GqF12D9j0HHwingXlj65QLzY7RKvB9mk3vSazdK9iE7LARXABj
        Yave/sQKKC+26P3P+aesRw4ZPNcPUaC6IAK6IzRL+JCFjsRgdrt2mmdXH0vDZnSN
        2F23ZhVijILXs88/H6vPwjWzkMMzLQBOKfLWoYwmIjqdS1YMdGbshioe0j+ULR5h
        H222NBzURg7RSqcrbXQKz02iYAbRGknry+Xo3FCTYmUS/rPxbo5AQdXSJgnM6eWe
        v1o9vh8RGIX2gR3sdXl5r2IS0Dsx5gUkIho5u5ROWIAeqoZR2OvvBG8J4FIxehoS
        0ORDpgtitjIcxTHydTkNVpX/GaK9RdrC1tpnItcI1741gC566aRe5sa1M1EyOGc/
        FuWPRf2v1EUXQE1THaL3WUPYK3Rv3Bj2iKDVUGBtl42iQAkArx298BTIciXsLWdM
        tdrxOHft8ltYnhtOpeU2fDVNAi5w
        -----END CERTIFICATE REQUEST-----
        """
    /// A curve that is not taken.
    static let secp256k1 = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIHEMGsCAQAwDDEKMAgGA1UEAwwBeDBWMBAGByqGSM49AgEGBSuBBAAKA0IABBII
        73d14t/0vLCk0H/RDvEAkxCo2aZeB/akG/a4WkoP04YWouK/UTSLkVipsKfuQ/Bh
        9DIoaEpEKIwfK2p5J8agADAKBggqhkjOPQQDAgNJADBGAiEA4yh8yRfUIHwLeuKP
        RW0KRYeCf/P0g5JXP2k1BQja0gICIQCL63uyFJ1UoBC98fNEd/ThJlDjDznPG42O
        rZBkMXjpoA==
        -----END CERTIFICATE REQUEST-----
        """
    /// The other curve that is taken.
    static let p384 = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIIBBDCBiwIBADAMMQowCAYDVQQDDAF4MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE
        fbgafVc3s56NxZQaTH6S0BfzDyG30XIVEZPYaixFlpPrzvyLHZ/VxIehspdKrceB
        mpevid2X0uE3JS1jRstVT6F70OILJuJolihX513pbegOQiXU0osvM2pIXD0uTy3T
        oAAwCgYIKoZIzj0EAwIDaAAwZQIwRGW1/mDjotEFoFrcFFBxjUHO+4X/1rO3Syg8
        kCbn2ucqsYx6OaT/1HlAwFgJhZkZAjEA4Z/2bCqQhFOAIT12F3b+pvAnZSrb35XS
        TTKv96TjrTV9uki51v6/EWli3QWwN+zG
        -----END CERTIFICATE REQUEST-----
        """
    /// P-256, but with its parameters spelt out instead of its name.
    static let explicit = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIIBvDCCAWICAQAwDDEKMAgGA1UEAwwBeDCCAUswggEDBgcqhkjOPQIBMIH3AgEB
        MCwGByqGSM49AQECIQD/////AAAAAQAAAAAAAAAAAAAAAP///////////////zBb
        BCD/////AAAAAQAAAAAAAAAAAAAAAP///////////////AQgWsY12Ko6k+ez671V
        dpiGvGUdBrDMU7D2O848PifSYEsDFQDEnTYIhucEk2pmeOETnSa3gZ9+kARBBGsX
        0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivO
        M1drMV7Oy7ZAaDe/UfUCIQD/////AAAAAP//////////vOb6racXnoTzucrC/GMl
        UQIBAQNCAASMTkZVtmksrQci6+0E8RPWSNsujFA+N78K2KYH4SLaf9k6moqZTECT
        ogOumBJyh4gXQx3b+U+OQF+Od88ymJa2oAAwCgYIKoZIzj0EAwIDSAAwRQIgFRbJ
        +UL0PR9JCe3yyCbnnV9BndrBA4xfOmYg0S0RlRICIQCzyLYb90QC9X6JLBPPoYpD
        uauZBZwWYNU4OefEaz7b1Q==
        -----END CERTIFICATE REQUEST-----
        """
    /// A kind of key that is not taken.
    static let ed25519 = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIGLMD8CAQAwDDEKMAgGA1UEAwwBeDAqMAUGAytlcAMhAOB8WjWl00DwVFTbl8kH
        X2lmyyxckqlDXLqkUt68+qtooAAwBQYDK2VwA0EAE1R50Q9lKE80jUib6m1Dyl6r
        VPg3QyMlsBgf5m3YO0mIOtzUydN1j03RRkEU5wcpPsrWlVNcUGT9ykACvzWgCw==
        -----END CERTIFICATE REQUEST-----
        """
    /// P-256; asks for somebody else's name, a second one, and to be an authority.
    static let greedy = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIIBNzCB3wIBADAPMQ0wCwYDVQQDDARldmlsMFkwEwYHKoZIzj0CAQYIKoZIzj0D
        AQcDQgAEtAEa5puTp9gs92Mi/hmktEM+LuF3B8lH2eUqq8cxkFE49y5MGhotr9bf
        3iEMkVmF2w//1kv6RTmgiCtFFJUA26BuMGwGCSqGSIb3DQEJDjFfMF0wPQYDVR0R
        BDYwNIYsc3BpZmZlOi8vc2hvcC5pbnRlcm5hbC9ucy9kZWZhdWx0L3NhL3BheW1l
        bnSCBGV2aWwwDwYDVR0TAQH/BAUwAwEB/zALBgNVHQ8EBAMCAgQwCgYIKoZIzj0E
        AwIDRwAwRAIgHZIMwDl1+V1S0RL3FnGHMs4sh/TALX0btxRI04LiECoCICyeleQV
        smycSprOTz5G9ZBh58G1Xx8vhrVPv+cpOWOi
        -----END CERTIFICATE REQUEST-----
        """
}
