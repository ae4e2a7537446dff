"""The codecs that people use, behind one small interface."""
