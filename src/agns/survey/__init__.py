"""People's judgement of frames: a page that asks them, and what their answers say."""
