# Finds the ROS 2 wheels of the Python environment that this package is being installed into.
#
# Included only when pip builds the package (scikit-build-core defines SKBUILD). The wheels put ROS 2 into the
# prefix of the environment, where neither CMake nor ament look by themselves. A ROS 2 installation never gets here.

find_package(Python3 REQUIRED COMPONENTS Interpreter Development NumPy)
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c "import sys; print(sys.prefix)"
  OUTPUT_VARIABLE environment_prefix
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)

list(PREPEND CMAKE_PREFIX_PATH "${environment_prefix}")
set(ENV{AMENT_PREFIX_PATH} "${environment_prefix}")  # the rosidl generators are looked up in the ament index

# The libraries go to lib/, the Python extensions to lib/pythonX.Y/site-packages/<package>/: with these run paths
# both find what they need and LD_LIBRARY_PATH is never necessary.
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/../../..")
