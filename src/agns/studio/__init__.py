"""The studio: a local web page that calls what Python and the command line call."""
