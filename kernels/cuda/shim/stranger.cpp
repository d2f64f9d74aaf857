// A library that is not the driver, for a test that gives it the driver's name.
extern "C" int stranger() { return 0; }
