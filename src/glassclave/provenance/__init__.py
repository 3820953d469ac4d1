"""Who signed what: in-toto statements, Fulcio claims, Sigstore bundles, cosign's layout."""
