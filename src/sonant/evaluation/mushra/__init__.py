"""Listening tests after MUSHRA (ITU-R BS.1534): prepare a session, serve its page, report its ratings."""
