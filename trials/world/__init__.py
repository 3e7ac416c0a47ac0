"""Things nobody here wrote: other people's servers, proxies, SDKs and models, with the naive way beside each."""
